"""SFTP version 3 for both of our servers: numbers, packets, statuses; no I/O.

The gateway (`fsclient.gateway`) and the drop box (`fsd.net.dropbox`) serve files with it.
"""
