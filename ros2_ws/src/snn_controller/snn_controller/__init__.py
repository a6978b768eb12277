"""Core of the control stack: everything a spiking policy needs to fly, free of ROS.

Imports only NumPy and PyYAML; `policy` adds onnxruntime, `plot` adds matplotlib, and
`nodes` is the one place that imports rclpy. SI units; world ENU, body FLU, quaternions xyzw.
"""

__version__ = "0.1.0"
