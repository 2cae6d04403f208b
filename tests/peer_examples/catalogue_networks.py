"""Examples of several programs that work together: callbacks, chats, work shared among processes, message buses."""

from __future__ import annotations

from peer_examples.programs import SERVING, Answer, Example, Program, client, server

NETWORKS = (
    Example(
        "callback",
        (
            server("server.py", SERVING, expect=(r"Worker 1 done\. Informing",)),
            client("client.py", r"worker 1 reports work is done!", r"worker 5 reports", r"done!$"),
        ),
        name_server=True,
    ),
    Example(
        "callback-errors",
        (
            server("server2.py", SERVING, expect=(r"callback 1[\s\S]*ZeroDivisionError", r"server: callbacks done")),
            Program(
                "client2.py",
                until=r"callback 2 received[\s\S]*ZeroDivisionError",
                expect=(r"callback 1 received", r"waiting for callbacks"),
            ),
        ),
        folder="callback",
        name_server=True,
    ),
    Example(
        "chatbox",
        (
            server("server.py", SERVING, expect=(r"CREATING NEW CHANNEL room", r"REMOVED CHANNEL room")),
            server(
                "client.py",
                r"Ready for input!",
                inputs=("room", "anna", Answer(r"\[bert\] hello anna", "hello bert"), Answer(r"bert left", "/quit")),
                expect=(r"Joined channel room as anna", r"Exit\."),
                leaves=True,
            ),
            client(
                "client.py",
                r"already exist: room",
                r"People on this channel: .*anna",
                r"Exit\.",
                inputs=("room", "bert", Answer(r"Ready for input!", "hello anna"), Answer(r"\[anna\] hello", "/quit")),
            ),
        ),
        name_server=True,
    ),
    Example(
        "circular",
        (
            server("servA.py", r"Server started A"),
            server("servB.py", r"Server started B"),
            server("servC.py", r"Server started C", expect=(r"I'm C, passing to A",)),
            client("client.py", r"Result=.*from A.*from B.*from C.*complete at A"),
        ),
        name_server=True,
    ),
    Example(
        "blob-dispatch",
        (
            server("dispatcher/dispatcher.py", SERVING, expect=(r"Dispatching blob with name: ",)),
            server(
                "listeners/main.py",
                r"Listener for topic blobs waiting",
                arguments=("blobs",),
                expect=(r"Received custom data[\s\S]* a=\d+, b=.*, c=",),
            ),
            client("client/client.py", r"processed", inputs=("blobs", "")),
        ),
        name_server=True,
    ),
    Example(
        "distributed-computing",
        (
            server("dispatcher.py", SERVING),
            server("worker.py", r"getting work from dispatcher", expect=(r"factorizing \d+ -->",)),
            server("worker.py", r"getting work from dispatcher"),
            client("client.py", r"Got result: ", r"Computed Prime Factorials follow:\n(\d+ --> \[.*\]\n){10}"),
        ),
        name_server=True,
        seconds=120,
    ),
    Example(
        "distributed-computing2",
        (
            server("servers.py", r"Spinning up"),
            # The servers print nothing when they are ready, so the name server is asked until it knows them.
            client("-m {console}", r"dispatcher --> PYRO:", arguments=("list",), repeat=True),
            client("client.py", r"single counter[\s\S]*(Top five words:\n  \w+ \(\d+\)[\s\S]*Time taken: [\s\S]*){2}"),
        ),
        name_server=True,
        seconds=120,
    ),
    Example(
        "distributed-computing3",
        (
            server("worker.py", r"Starting up worker", expect=(r"factorize request received for \d+\n +-->",)),
            server("worker.py", r"Starting up worker"),
            client("client.py", r"(\S+ factorized \d+: \[.*\]\n){100}"),
        ),
        name_server=True,
        seconds=120,
    ),
    Example(
        "distributed-mandelbrot",
        (
            server("server.py", r"server #0 ready", arguments=("0",)),
            server("server.py", r"server #1 ready", arguments=("1",)),
            client("client_asciizoom.py", r"2 mandelbrot calculation servers found", r"Final FPS: \d"),
        ),
        name_server=True,
        seconds=120,
    ),
    Example(
        "stockquotes-2",
        (
            server("phase2/stockmarket.py", r"Stockmarkets available"),
            Program("phase2/viewer.py", until=r"(N\w+\.\w+: [\d.]+\s+){5}", expect=(r"found market",)),
        ),
        folder="stockquotes",
        name_server=True,
    ),
    Example(
        "stockquotes-3",
        (
            server("phase3/stockmarket.py", r"Stockmarkets available"),
            Program("phase3/viewer.py", until=r"(N\w+\.\w+: [\d.]+\s+){5}", expect=(r"found market",)),
        ),
        folder="stockquotes",
        name_server=True,
    ),
    Example(
        "stockquotes-old-2",
        (
            client(
                "phase2/main.py",
                r"aggregator gets a new viewer",
                r"aggregated symbols",
                inputs=(Answer(r"(N\w+\.\w+: [\d.]+\s+[\s\S]*){5}", ""),),
            ),
        ),
        folder="stockquotes-old",
        generations=(4,),
    ),
    Example(
        "stockquotes-old-3",
        (
            server("phase3/stockmarket.py", r"Stockmarkets running", expect=(r"adding new aggregator",)),
            server("phase3/aggregator.py", r"Aggregator running", expect=(r"joining market", r"gets a new viewer")),
            Program("phase3/viewer.py", inputs=("IBM,AAPL,GOOG,BP",), until=r"(N\w+\.\w+: [\d.]+\s+){5}"),
        ),
        folder="stockquotes-old",
        generations=(4,),
        name_server=True,
    ),
    Example(
        "messagebus",
        (
            server("-m messagebus.server", r"Server running"),
            server(
                "subscriber.py",
                r"Subscribed on weather-forecast",
                inputs=("",),
                expect=(r"(GOT MESSAGE:\n[\s\S]*){3}",),
            ),
            Program("publisher.py", inputs=("Oslo",), until=r"(Forecast: [\s\S]*){5}"),
        ),
        name_server=True,
    ),
    Example(
        "messagebus-manual",
        (
            server("-m messagebus.server", r"Server running"),
            server("publisher.py", r"Forecast: ", inputs=("Oslo",)),
            client("subscriber_manual_consume.py", r"(PROCESSING MESSAGE:[\s\S]*){10}End\.", inputs=("",)),
        ),
        folder="messagebus",
        name_server=True,
    ),
    Example(
        "nameserverstress",
        (
            Program(
                "stress.py",
                until=r"(Name Server trasher running\.[\s\S]*){5}([0-4] ){30}",
                interrupt=True,
                expect=(r"(Trasher exiting\.[\s\S]*){5}cleaned up \d+ names",),
            ),
        ),
        name_server=True,
    ),
    Example(
        "http",
        (
            server("-m {echo}", arguments=("-n",)),
            server("-m {gateway}", r"8080", arguments=("-e", r"http\.|Pyro\.NameServer|test\.echoserver")),
            client(
                "client.py",
                r"LIST--->\n\{[\s\S]*Pyro\.NameServer",
                r"META--->[\s\S]*'lookup'",
                r"LOOKUP--->[\s\S]*PYRO",
                r"ONEWAY_SLOW--->\n",
                r"SLOW--->\n\S",
                refuse=(r"^Error",),
            ),
        ),
        name_server=True,
        port=8080,
    ),
)
