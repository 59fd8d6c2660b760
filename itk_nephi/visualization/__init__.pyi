__all__ = [
    "MethodResult",
    "draw_overview",
    "registration_html",
    "render_report",
]

from .notebook import registration_html
from .overview import draw_overview
from .report import MethodResult, render_report
