from typing import final

@final
class SerpentReader: ...
