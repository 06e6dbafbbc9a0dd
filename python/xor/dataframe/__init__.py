"""Frames over other people's data: `from xor import dataframe as xf`."""

from xor.dataframe.client import Client, Dataset, use
from xor.dataframe.columns import ColumnExpression, Condition
from xor.dataframe.frame import Frame, concat, join
from xor.dataframe.job import Job
from xor.dataframe.result import Costs, Result
from xor.dataframe.unbuilt import normalize

merge = join

__all__ = [
    "Client",
    "ColumnExpression",
    "Condition",
    "Costs",
    "Dataset",
    "Frame",
    "Job",
    "Result",
    "concat",
    "join",
    "merge",
    "normalize",
    "use",
]
