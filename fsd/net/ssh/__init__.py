"""The SSH listener: paramiko's server side; imported only if SSH access is enabled."""
