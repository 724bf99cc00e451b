"""SFTP version 3 for both SFTP servers of the project: numbers, packets, statuses; no I/O.

The gateway (`fsclient.gateway`) and the drop box (`fsd.net.dropbox`) serve files with it.
"""
