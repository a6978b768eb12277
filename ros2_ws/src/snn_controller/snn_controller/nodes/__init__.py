"""The ROS 2 nodes, one `*_node.py` a process; only this room imports rclpy."""
