"""What servers do now: their metrics, their record and what they use of the machine. Reads only.

    snapshot.py  all that is known at one moment, as frozen values
    source.py    a server's metrics: from its own files, or by HTTP
    usage.py     processors and GPUs
    reports.py   reports of benchmarks on this machine
    server.py    one server, look by look
    watch.py     all of them, and the fleets
    looker.py    looks again and again, in a thread
    web/         the same as a page on loopback

Nothing is asked of a server whose own files tell the same.
"""
