"""Benchmarks that print their own verdict, and the record of what each of them measured.

A bench is a plan of measurements (`bench`), each repeated until its median is known (`repeats`). A
row is what was found, with all of its samples; `session` runs a plan and writes its record, of
which `sheets` makes tables.
"""
