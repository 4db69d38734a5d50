"""The project: settings and the four doors (urls, sockets, schedules, reactions)."""
