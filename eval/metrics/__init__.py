"""What is measured on an answer, and the statistics of comparing two systems.

from eval.metrics import METRICS, text_statistics

rows = text_statistics(["Jakarta."], ["Ibu kotanya Jakarta."], ["Apa ibu kota Indonesia?"])
METRICS["chrf"].reduce(rows["chrf"].sum(axis=0))
"""

from eval.metrics.definitions import METRICS, Metric
from eval.metrics.item_statistics import text_statistics

__all__ = ["METRICS", "Metric", "text_statistics"]
