"""The control plane: routes plans, keeps the log of every job, stores sealed streams. It is blind."""
