"""Examples about connections, sessions and servers: contexts, handshakes, time limits, server types, event loops."""

from __future__ import annotations

from peer_examples.programs import SERVING, URI, Example, Program, client, server

CONNECTIONS = (
    Example(
        "unixdomainsock",
        (server("server.py", expect=(r"Message received: Hello",)), client("client.py", r"Roger!", inputs=("{uri}",))),
    ),
    Example(
        "unixdomainsock-abstract",
        (
            server("abstract_namespace_server.py", r"'(?P<uri>PYRO:[^']*)'"),
            client("client.py", r"contains 0-byte", r"Roger!", inputs=("{uri}",)),
        ),
        folder="unixdomainsock",
    ),
    Example(
        "instancemode",
        (
            server(
                "server.py",
                SERVING,
                expect=(
                    r"(\[\d+\]) SessionInstance\.msg: hello1\n\1 .*hello1\n\1 .*hello1",
                    r"(\[\d+\]) SingleInstance\.msg: hello1\n[\s\S]*\1 SingleInstance\.msg: hello2",
                ),
            ),
            client("client.py", r"SESSION .*\n(.*)\n\1\n\1\n ", r"SINGLE .*\n(\d+)(\n\1){5}"),
        ),
        name_server=True,
    ),
    Example(
        "callcontext",
        (
            server(
                "server.py",
                expect=(
                    r"context\.client_sock_addr:  \('127\.0\.0\.1', \d+\)",
                    r"context\.correlation_id: .*[0-9a-f-]{36}",
                    r"annotation 'XYZZ': b'custom",
                ),
            ),
            client(
                "client.py",
                r"correlation id set to: .*[0-9a-f-]{36}",
                r"normal call\nAnnotations in response were: \n +\w{4} -> b'",
                r"oneway call\nAnnotations in response were: \n\(should be",
                inputs=("{uri}",),
            ),
        ),
        generations=(5,),
    ),
    Example(
        "callcontext",
        (
            server("server.py", expect=(r"context\.client_sock_addr:  \('127\.0\.0\.1', \d+\)", r"annotation 'XYZZ'")),
            client(
                "client.py",
                r"correlation id set to: .*[0-9a-f-]{36}",
                r"Got response \(msgtype=5\)\. Annotations:\n +\w{4} -> ",
                r"normal call\nAnnotations in response were: +\{.+\}",
                r"oneway call\nAnnotations in response were: +\{\}",
                inputs=("{uri}", ""),
            ),
        ),
        generations=(4,),
    ),
    Example(
        "handshake",
        (
            server(
                "server.py",
                rf"{URI}\n[\s\S]*secret code:  (?P<secret>\S+)",
                expect=(r"Secret code okay!", r"Daemon client disconnects"),
            ),
            client("client.py", r"handshake response data: ", r"Connection ok!\ndone", inputs=("{uri}", "{secret}")),
        ),
    ),
    Example(
        "handshake-refused",
        (
            server("server.py", expect=(r"Secret code wrong!",)),
            client("client.py", r"connecting\.\.\.", r"CommunicationError", inputs=("{uri}", "no such code"), status=1),
        ),
        folder="handshake",
    ),
    Example(
        "resourcetracking",
        (
            server("server.py", SERVING, expect=(r"service: allocated resource", r"client disconnects: ")),
            client("client.py", r"allocated resources: \[\]", r"done\.", inputs=("{uri}", "")),
        ),
    ),
    Example(
        "resourcetracking-abort",
        (
            server("server.py", SERVING, expect=(r"resources:  \['", r"(Resource: closing [\s\S]*){2}")),
            Program("client.py", until=r"hit Enter now", inputs=("{uri}",)),
        ),
        folder="resourcetracking",
    ),
    Example(
        "usersession",
        (
            server(
                "server.py",
                SERVING,
                expect=(
                    r"DB: user \S+ stores: ",
                    r"DB: user \S+ retrieve: ",
                    r"new instance and connection for user: ",
                ),
            ),
            client("client.py", r"Sequential access[\s\S]*Session-Bound", r"num=", inputs=("", "")),
        ),
        name_server=True,
        seconds=60,
    ),
    Example(
        "autoretry",
        (
            server("server.py", SERVING, expect=(r"calling add: ",)),
            client("client.py", r"Got exception .* as expected", r"enable the auto retry[\s\S]*will not raise"),
        ),
        name_server=True,
    ),
    Example(
        "timeout",
        (
            server("server.py", r"Server ready", expect=(r"sleeping 2",)),
            Program("client.py", until=r"may take forever", expect=(r"(TimeoutError! As expected![\s\S]*){3}",)),
        ),
        name_server=True,
    ),
    Example(
        "disconnects",
        (
            server("server.py", SERVING, expect=(r"echo: ",)),
            client(
                "client.py",
                r"<proxy: ping>\n +<proxy: ping reply",
                r"Doing a new call[\s\S]*result = \S",
                inputs=("{uri}", ""),
            ),
        ),
    ),
    Example(
        "autoreconnect",
        (
            server("server.py", expect=(r"Method called with ",)),
            server(
                "client.py", r"call\.\.\.\nSleeping 1 second", inputs=("{uri}",), expect=(r"REBINDING[\s\S]*Sleeping",)
            ),
            server("server.py", ends=("server.py",), expect=(r"Method called with ",)),
        ),
    ),
    Example(
        "autoreconnect-name",
        (
            server("serverNS.py", r"Server started", expect=(r"Method called with ",)),
            server("clientNS.py", r"call\.\.\.\nSleeping 1 second", expect=(r"REBINDING[\s\S]*Sleeping",)),
            server(
                "serverNS.py", r"still exists[\s\S]*Server started", ends=("serverNS.py",), expect=(r"Method called",)
            ),
        ),
        folder="autoreconnect",
        name_server=True,
    ),
    Example(
        "servertypes-thread",
        (
            server("server.py", SERVING, inputs=("t",), expect=(r"onewaydelay called in thread", r"\ndelay called")),
            client(
                "client.py",
                r"completed calls in the server: 0\n",
                r"completed calls in the server: 10\n",
                r"All calls will run in parallel",
                r"Done\. Number of completed calls in the server: 5",
            ),
        ),
        folder="servertypes",
        name_server=True,
    ),
    Example(
        "servertypes-multiplex",
        (
            server("server.py", SERVING, inputs=("m",)),
            client("client.py", r"need to get in line", r"Done\. Number of completed calls in the server: 5"),
        ),
        folder="servertypes",
        name_server=True,
    ),
    Example(
        "eventloop-threads",
        (
            server("server_threads.py", r"Waiting for requests", expect=(r"Daemon received a request",)),
            client("client.py", r"5\*11=55", r"'x'\*10=x{10}", r"'@'\*i=@{9}", inputs=("",)),
        ),
        folder="eventloop",
    ),
    Example(
        "eventloop-multiplexed",
        (
            server("server_multiplexed.py", r"Waiting for requests"),
            client("client.py", r"5\*11=55", r"'x'\*10=x{10}", r"'@'\*i=@{9}", inputs=("",)),
        ),
        folder="eventloop",
    ),
    Example(
        "ssl",
        (
            server("server.py", expect=(r"SSL client cert is ok", r"got message: ")),
            client("client.py", r"SSL server cert is ok", r"response: hi!", inputs=("{uri}",)),
        ),
        certificates=True,
    ),
    Example(
        "socketpair-fork",
        (client("pair-fork.py", r"Pyro daemon running on", r"(client got reply: [\s\S]*){4}", r"The end"),),
        folder="socketpair",
    ),
    Example(
        "socketpair-thread",
        (client("pair-thread.py", r"Pyro daemon running on", r"(client got reply: [\s\S]*){4}", r"The end"),),
        folder="socketpair",
    ),
    Example(
        "filetransfer",
        (
            server("server.py", expect=(r"sending \d+ bytes", r"via annotations stream", r"requesting file id")),
            client(
                "client.py",
                r"regular pyro calls[\s\S]*done, [\d.]+ Mb/sec[\s\S]*via iterators",
                r"via annotation stream [\s\S]*done, [\d.]+ Mb/sec[\s\S]*raw socket transfers",
                r"raw socket transfers[\s\S]*(done, [\d.]+ Mb/sec[\s\S]*){2}",
                inputs=("{uri}", "", "", "", ""),
                refuse=(r"^Traceback",),
            ),
        ),
        seconds=120,
    ),
    Example(
        "proxysharing",
        (
            server("server.py", SERVING),
            client(
                "client.py",
                r"own proxy[\s\S]*time until everything completed: \d",
                r"(work done on the server: \d+[\s\S]*){2}",
                refuse=(r"\*\*\*\* Exception",),
            ),
        ),
        generations=(4,),
        name_server=True,
        seconds=90,
    ),
    Example(
        "threadproxysharing",
        (
            client(
                "client.py",
                r"Expected exception in thread[\s\S]*not the owner",
                r"Solution 1\. The call succeeded",
                r"Solution 2\. The call succeeded[\s\S]*Expected exception",
                refuse=(r"should not see",),
            ),
        ),
        generations=(5,),
        name_server=True,
    ),
    Example(
        "diffie-hellman",
        (
            server("server.py", SERVING, expect=(r"shared secret key =  ?[0-9a-f]{16}",)),
            client("client.py", r"shared secret key =  [0-9a-f]{16}"),
        ),
        generations=(5,),
        name_server=True,
    ),
    Example(
        "diffie-hellman",
        (
            server("server.py", r"Starting server loop", expect=(r"Got the message: hey",)),
            client("client.py", r"Error occured \(expected!\)", r"Got reply: \S"),
        ),
        generations=(4,),
        name_server=True,
    ),
)
