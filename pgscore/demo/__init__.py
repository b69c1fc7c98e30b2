"""The tour that `pgscore demo` gives. It types the real commands and prints what they answer."""

from .tour import run

__all__ = ["run"]
