"""From settings to running services: assembly, open collections, the worker, the doctor.

Read `assembly.py` first.
"""
