"""A second device where there is none: host memory that torch takes for another device.

Tensors of it do not mix with those of the CPU, as those of CUDA do not, so what would fail there fails here.
Kernels are the CPU's. `make test-second-device` compiles it (with g++ and ninja) and runs everything on it.
"""
