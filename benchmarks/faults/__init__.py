"""What the system does with wrong input, with damage and with wrong code: each module fills one section of results/faults.md."""
