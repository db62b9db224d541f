"""What makes a stream fast, and nothing one must know to use the package.

The plain network of ``stmem_ros.model`` computes much more than once: here its linear steps are
folded into each other, and the folds are run by what each machine does best (oneDNN and Winograd's
convolutions on a CPU, CUDA graphs on a GPU). The answers are those of the plain network but for
rounding. Whatever of torch or of the C library is private to it is called here alone.
"""
