"""The only modules that import rclpy: thin adapters between ROS and the core."""
