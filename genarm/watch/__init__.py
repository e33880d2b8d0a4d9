"""What goes on in a project, at a glance: for people, for machines, and told to others as events."""
