"""Starting the graph: its arguments, its processes, `snn-fly`."""
