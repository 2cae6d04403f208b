"""Examples about objects and calls: attributes, results, errors, batches, streams, asynchronous calls."""

from __future__ import annotations

from peer_examples.programs import SERVING, URI, Example, client, server

BASICS = (
    Example(
        "attributes",
        (
            server("server.py", SERVING),
            client(
                "client.py",
                r"p\.prop_value= 42\b[\s\S]*p\.prop_value= 542\b",
                r"actual remote value:  542",
                r"accessing p\.sub\.\.\.\nok, got expected error",
                r"accessing p\.__value\.\.\.\nok, got expected error",
                r"'value'\}   \(should be unchanged",
                inputs=("{uri}",),
                refuse=(r"should not happen", r"^Traceback"),
            ),
        ),
    ),
    Example(
        "autoproxy",
        (
            server("server.py", SERVING, expect=(r"Thingy 1 says: ", r"Thingy 3 says: ")),
            client("client.py", r"Creating things", r"Speaking stuff", inputs=("{uri}",)),
        ),
    ),
    Example(
        "nonameserver",
        (server("server.py", rf"PYRO:obj_.*\n{URI}"), client("client.py", r"quotes\.\.\.\n.+\n.+", inputs=("{uri}",))),
    ),
    Example(
        "echoserver",
        (
            server("-m {echo}", URI, expect=(r"object name: test\.echoserver",), leaves=True),
            client(
                "client.py",
                r"got back from the server: hello",
                r"got back from the server: \[1, 2, 3, 4\]",
                r"remote iterator: one\n.*two\n.*three",
                r"expected\), traceback:[\s\S]*Remote traceback[\s\S]*Error: .* echoserver",
                r"shutting down",
                inputs=("{uri}",),
            ),
        ),
    ),
    Example(
        "thirdpartylib",
        (
            server("server.py", expect=(r"called with:  how are you\?", r"Weird!", r"private method")),
            client("client.py", r": awesome\ncouldn't call weird\(\)[\s\S]*\nboo", inputs=("{uri}",)),
        ),
    ),
    Example(
        "thirdpartylib-adapter",
        (
            server("server2.py", expect=(r"Adapter class is called", r"called with:  how are you\?")),
            client("client.py", r": awesome\nweird awesome\ncouldn't call private\(\)", inputs=("{uri}",)),
        ),
        folder="thirdpartylib",
    ),
    Example(
        "warehouse-2",
        (
            server("phase2/warehouse.py", SERVING, expect=(r"Janet stored the lamp", r"Henry took the lamp")),
            client("phase2/visit.py", r"contains: .*'lamp'", inputs=("{uri}", "lamp", "chair", "", "lamp")),
        ),
        folder="warehouse",
    ),
    Example(
        "warehouse-3",
        (
            server("phase3/warehouse.py", SERVING, expect=(r"Janet stored the lamp", r"Henry took the lamp")),
            client("phase3/visit.py", r"contains: .*'lamp'", inputs=("lamp", "chair", "", "lamp")),
        ),
        folder="warehouse",
        name_server=True,
    ),
    Example(
        "banks",
        (
            server("server.py", r"Banks are ready", expect=(r"example\.banks\.(abn|rabobank)",)),
            client(
                "client.py",
                r"Failed: ",
                r"Failed as expected",
                r"The accounts in the ",
                r"End balance=\d+\.\d\d",
                refuse=(r"!!! Succeeded", r"^Traceback"),
            ),
        ),
        name_server=True,
    ),
    Example(
        "exceptions",
        (
            server("server.py", SERVING),
            client(
                "client.py",
                r"0\.2222",
                r"DIVIDE BY ZERO: .*\nDIVIDE BY ZERO: ",
                r"VALUERROR: ",
                r"ANOTHER ERROR: ",
                r"UNSERIALIZABLE ERROR: ",
                r"CAUGHT ERROR  >>> [\s\S]*Remote traceback[\s\S]*end of Pyro traceback",
                r"not catching anything[\s\S]*Remote traceback",
                refuse=(r"SHOULD NOT HAPPEN",),
                status=1,
            ),
        ),
        name_server=True,
    ),
    Example(
        "shoppingcart",
        (
            server("shopserver.py", SERVING, expect=(r"trying to shoplift",)),
            client(
                "clients.py",
                r"Customers currently in the shop: .*Harry",
                r"Harry payed\. The cart now contains: \[\]",
                r"Shoplifter is leaving[\s\S]*Error",
                r"Harry is attempting[\s\S]*unknown object",
                status=1,
            ),
        ),
        name_server=True,
    ),
    Example(
        "batchedcalls",
        (
            server("server.py", SERVING, expect=(r"\S",)),
            client(
                "client.py",
                r"Batched remote calls[\s\S]*total time taken",
                r"oneway batched calls were .* times faster",
                r"100//3 = \d+\n100//2 = \d+\n",
                r"divide by zero error occurred[\s\S]*ZeroDivisionError",
                inputs=("{uri}",),
            ),
        ),
    ),
    Example(
        "streaming",
        (
            server("server.py", SERVING),
            client(
                "client.py",
                r"normal list:\n\[1, 2, 3",
                r"via iterator:\n\[1, 2, 3",
                r"via generator:\n\[",
                r"slow generator:\n\d+\n\d+\n",
                inputs=("{uri}",),
            ),
        ),
    ),
    Example(
        "oneway",
        (
            server("server.py", SERVING, expect=(r"start request received", r"work is done!", r"work work\.\. 1")),
            client("client.py", r"server done\?\nno, trying again", r"yes!", r"result from the server: \S"),
        ),
        name_server=True,
    ),
    Example(
        "oneway-order",
        (
            server("server2.py", SERVING, expect=(r"oneway call executing in thread",)),
            client("client2.py", r"counter in server is now:  \d", r"still being processed[\s\S]*counter is now:  \d"),
        ),
        folder="oneway",
        generations=(5,),
        name_server=True,
    ),
    Example(
        "ns-metadata",
        (
            client(
                "example.py",
                r"all storage:\n( +example\.resource\.\w+storage -> .*PYRO:.*\n){2}",
                r"after photoprinter upgrade[\s\S]*photoprinter ->",
                r"bound to candidate:\n +PYRO:",
                r"'any slow printer':\n +<Pyro",
            ),
        ),
        name_server=True,
    ),
    Example(
        "custom-serialization",
        (
            server("server.py", SERVING, expect=(r"\nmethod called, arg= ", r"\nothermethod called, arg= ")),
            client(
                "client.py",
                r"serializer hook, converting to dict",
                r"Transferring thingy[\s\S]*Transferring otherthingy[\s\S]*type of response object:[\s\S]*response: ",
                inputs=("{uri}",),
            ),
        ),
        generations=(5,),
    ),
    Example(
        "ser_custom",
        (
            server("server.py", SERVING, expect=(r"\nmethod called, arg= ", r"\nothermethod called, arg= ")),
            client(
                "client.py",
                r"serializer hook, converting to dict",
                r"Transferring thingy[\s\S]*Transferring otherthingy[\s\S]*type of response object:[\s\S]*response: ",
                inputs=("{uri}",),
            ),
        ),
        generations=(4,),
    ),
    Example(
        "async",
        (
            server("server.py", SERVING, expect=(r"dividing 100 by 5",)),
            client(
                "client.py",
                r"result= 20",
                r"result value available\? False\n[\s\S]*resultvalue= 20",
                r"does normal call:  100\n.*150",
                r"got exception \(expected\): ZeroDivisionError",
                r"status after waiting= False",
                r"status after waiting= True\navailable= True",
                r"done\.",
                inputs=("{uri}",),
            ),
        ),
        generations=(4,),
        seconds=60,
    ),
    Example(
        "async-batch",
        (
            server("server.py", SERVING),
            client(
                "client_batch.py",
                r"result value available\? False",
                r"resultvalues= \[",
                r">>> async batch function called",
                r"got exception \(expected\): ZeroDivisionError",
                r"status after wait= False",
                r"status after wait= True",
                r"done\.",
                inputs=("{uri}",),
            ),
        ),
        folder="async",
        generations=(4,),
        seconds=90,
    ),
    Example(
        "async-callchain",
        (
            server("server.py", SERVING),
            client(
                "client_callchain.py",
                r"ERRORHANDLER: ",
                r"expected error occurred",
                r">>> async function called with value=",
                r">>> async func called with some arguments: a=",
                r"final value= \d+",
                r"done\.",
                inputs=("{uri}",),
                refuse=(r"SHOULD RAISE",),
            ),
        ),
        folder="async",
        generations=(4,),
        seconds=90,
    ),
    Example(
        "futures",
        (client("futures.py", r">>> myfunction called with: a=", r"calls chained:[\s\S]*result value= \S"),),
        generations=(4,),
    ),
    Example(
        "benchmark",
        (
            server("server.py", SERVING),
            client(
                "client.py",
                r"total method calls: \d+",
                r"serializer: marshal",
                inputs=("{uri}",),
                refuse=(r"^Traceback",),
            ),
        ),
        seconds=90,
    ),
    Example(
        "benchmark-connections",
        (
            server("server.py", SERVING),
            client(
                "connections.py", r"conn/sec", r"new proxy calls in", r"Serializer used: serpent", inputs=("{uri}",)
            ),
        ),
        folder="benchmark",
        seconds=90,
    ),
    Example(
        "hugetransfer",
        (
            server("server.py", SERVING, expect=(r"received \d+ bytes", r"using chunks of size")),
            client(
                "client.py", r"string data[\s\S]*byte data[\s\S]*via iterator[\s\S]*serializer: ", inputs=("{uri}",)
            ),
        ),
        seconds=120,
    ),
    Example(
        "maxsize",
        (
            server("-m {echo}", URI),
            client("client.py", r"success\.", r"EXCEPTION \(expected\)", inputs=("{uri}",), refuse=(r"^Hmm",)),
        ),
        generations=(4,),
    ),
    # Pyro5 itself refuses the message with another error than its example expects, which ends the example.
    Example(
        "maxsize",
        (
            server("-m {echo}", URI),
            client(
                "client.py",
                r"success\.",
                r"EXCEPTION \(expected\)|ProtocolError: message too large",
                inputs=("{uri}",),
                refuse=(r"^Hmm",),
                status=None,
            ),
        ),
        generations=(5,),
    ),
)
