class Inflated(bytes):
    arrived: int

def most_memory(arrived: int) -> int: ...
