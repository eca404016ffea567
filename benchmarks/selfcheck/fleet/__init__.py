"""What a fleet loses when one of its parts dies or stands still under load: docs/scaling.md.

load.py    requests, and what became of each
faults.py  what is done to which part
run.py     a fleet, the load, a fault; and the table
"""
