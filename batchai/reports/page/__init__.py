"""A report as one HTML page that needs nothing but itself: no network, no other file."""

from batchai.reports.page.items import PageItems
from batchai.reports.page.rendering import page_html

__all__ = ["PageItems", "page_html"]
