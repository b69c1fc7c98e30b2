"""The Python that runs inside PL/Python, to score with onnxruntime.

Plain modules, tested without a server; `procedures/plpython.py` embeds their source in the functions it creates. They
know numpy and onnxruntime, but no database and nothing of pgscore outside this folder, and run on Python 3.10 too.
"""
