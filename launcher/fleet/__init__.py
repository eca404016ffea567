"""Several servers of one model behind one gateway, on this machine.

    fleet_file.py   what a fleet is, read from its file
    layout.py       the file on a machine: a name, ports and GPUs for each member (pure)
    store.py        which fleet runs, on disk
    remotes.py      servers elsewhere: what they are, before anything is routed to them
    members.py      one member: is it here, start it, take it over, stop it
    check.py        whether all of it can be brought up here; starts nothing
    lifecycle.py    the whole: up, down, scale
    routing.py      what the gateway knows of the servers, and when it has taken one up
    roll.py         replaces members one by one, and goes back where the new ones are worse
    questions.py    what a member answers, and how well its drafts are accepted
    figures.py      what each server says of its own work
    view.py         what runs now

A member is a server as `up` starts it, under a supervisor of its own; nothing runs beside them.
Which of them take requests stands in a file that their supervisors write and the gateway reads.
"""
