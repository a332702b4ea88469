"""The page: one HTML file that holds its records' conclusions, curves and origins."""

from mpi_lowrank.page.page import page, write_page

__all__ = ["page", "write_page"]
