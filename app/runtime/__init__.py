"""Settings to running services: assembly, the open collections, the worker, the doctor.

Read `assembly.py` first.
"""
