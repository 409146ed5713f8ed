"""What is left standing when things break: processes, disks, servers, networks, clocks."""
