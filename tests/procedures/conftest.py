"""Fixtures of these tests: databases with pgscore installed."""

from __future__ import annotations

from ..support.databases import installed, installed15, installed18

__all__ = ["installed", "installed15", "installed18"]
