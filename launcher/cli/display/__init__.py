"""What people and programs see of a start, a download, a plan and a doctor's findings."""
