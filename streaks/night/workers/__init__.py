"""Who does the work: a pool of processes on this machine, or a Dask cluster."""
