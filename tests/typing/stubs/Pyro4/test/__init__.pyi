from . import echoserver as echoserver
