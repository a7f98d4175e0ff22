"""Vectors of queries as they are sent: in binary, as real[], which pgvector casts to its types.

pgvector's own types for SQLAlchemy send text: for 512 dimensions 9 kB, which take a hundred times
as long to write.
"""

import struct
from collections.abc import Callable
from typing import Any

import numpy as np
import psycopg
from psycopg.adapt import Dumper
from psycopg.pq import Format
from sqlalchemy import Dialect
from sqlalchemy.types import UserDefinedType

from app.vectors import Vectors

REAL_ARRAY, REAL = 1021, 700  # oids of Postgres's types, which are the same everywhere
HEADER = struct.Struct(">iiiii")  # dimensions of the array, nulls, type, length, first subscript
ELEMENT = np.dtype([("bytes", ">i4"), ("value", ">f4")])


class RealArray(bytes):
    """Numbers in the binary form of real[]."""

    __slots__ = ()

    @classmethod
    def of(cls, vector: Vectors) -> "RealArray":
        """Those of a vector, shape (dimensions,)."""
        elements = np.empty(len(vector), ELEMENT)
        elements["bytes"], elements["value"] = 4, vector
        return cls(HEADER.pack(1, 0, REAL, len(vector), 1) + elements.tobytes())


class _RealArrayDumper(Dumper):
    format = Format.BINARY
    oid = REAL_ARRAY

    def dump(self, obj: RealArray) -> bytes:
        return obj


def send_binary(connection: "psycopg.Connection[Any]") -> None:
    """Have the connection send values of `SentVector`."""
    connection.adapters.register_dumper(RealArray, _RealArrayDumper)


class SentVector(UserDefinedType[Vectors]):
    """The type of a parameter that is cast to a type of pgvector's."""

    cache_ok = True

    def get_col_spec(self, **_: Any) -> str:
        """Its name in DDL."""
        return "real[]"

    def bind_processor(self, dialect: Dialect) -> Callable[[Any], RealArray]:
        """What makes a value of a vector, shape (dimensions,)."""
        return RealArray.of
