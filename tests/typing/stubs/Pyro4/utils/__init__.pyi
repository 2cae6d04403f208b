from . import flame as flame
from . import flameserver as flameserver
from . import httpgateway as httpgateway
