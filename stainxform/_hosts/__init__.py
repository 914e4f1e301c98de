"""What MONAI, albumentations, torchvision and the torch module share."""
