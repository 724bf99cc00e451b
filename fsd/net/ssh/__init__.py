"""The SSH door: paramiko's server side; imported only where it is open."""
