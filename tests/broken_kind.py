"""A kind of the fuzz campaign whose inputs do harm: for the test of what watches it."""

import os
import time

from stainxform.errors import ParameterError


class Broken:
    seconds = 3.0
    memory = 1 << 30

    def __init__(self, folder):
        pass

    def case(self, number):
        if number == 3:
            os.abort()
        if number == 5:
            time.sleep(60)
        if number == 7:
            raise ValueError("not documented")
        if number == 9:
            bytearray(1 << 31)
        if number == 11:
            raise ParameterError("documented, but not caught by the kind")
        time.sleep(0.01)
        return "fine"
