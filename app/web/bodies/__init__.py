"""Request bodies: JSON, and pictures that are sent."""
