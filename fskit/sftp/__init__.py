"""SFTP version 3 as both of our servers speak it: numbers, packets, statuses; no I/O.

What is served with it is the gateway's matter (`fsclient.gateway`), or the drop box's
(`fsd.net.dropbox`).
"""
