from typing import final

@final
class SerpentWriter: ...
