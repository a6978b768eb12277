"""What every node needs of ROS: lifecycle, parameters, quality of service, conversions."""
