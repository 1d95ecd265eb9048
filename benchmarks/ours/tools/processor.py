"""A tool whose calls take a processor for themselves."""

from toolserver import StandardTool, register


@register("processor")
class Processor(StandardTool):
    def count(self, rounds: int) -> int:
        total = 0
        for number in range(rounds):
            total += number
        return total
