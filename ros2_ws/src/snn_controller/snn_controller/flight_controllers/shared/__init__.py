"""What several links need: endpoints, clocks, frames, throttle, requests for modes."""
