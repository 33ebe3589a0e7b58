// A device that computes on the CPU and keeps its tensors apart from the CPU's: PyTorch's PrivateUse1.

#include <set>
#include <string>

#include <ATen/EmptyTensor.h>
#include <ATen/native/CPUFallback.h>
#include <ATen/ops/_reshape_alias_native.h>
#include <ATen/ops/as_strided_native.h>
#include <ATen/ops/unfold_native.h>
#include <ATen/ops/view_native.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>
#include <c10/core/impl/alloc_cpu.h>
#include <torch/extension.h>

namespace {

const c10::Device SECOND(c10::DeviceType::PrivateUse1, 0);
constexpr c10::DispatchKeySet KEYS(c10::DispatchKey::PrivateUse1);

C10_REGISTER_GUARD_IMPL(PrivateUse1, c10::impl::NoOpDeviceGuardImpl<c10::DeviceType::PrivateUse1>);

struct HostMemory final : c10::Allocator {
  c10::DataPtr allocate(size_t bytes) override {
    void* data = c10::alloc_cpu(bytes);
    return {data, data, &c10::free_cpu, SECOND};
  }
  c10::DeleterFnPtr raw_deleter() const override { return &c10::free_cpu; }
  void copy_data(void* to, const void* from, std::size_t bytes) const override { std::memcpy(to, from, bytes); }
};

HostMemory memory;
REGISTER_ALLOCATOR(c10::DeviceType::PrivateUse1, &memory);

at::Tensor empty(c10::IntArrayRef size, std::optional<at::ScalarType> dtype, std::optional<at::Layout>,
                 std::optional<at::Device>, std::optional<bool>, std::optional<at::MemoryFormat> format) {
  return at::detail::empty_generic(size, &memory, KEYS, c10::dtype_or_default(dtype), format);
}

at::Tensor empty_strided(c10::IntArrayRef size, c10::IntArrayRef stride, std::optional<at::ScalarType> dtype,
                         std::optional<at::Layout>, std::optional<at::Device>, std::optional<bool>) {
  return at::detail::empty_strided_generic(size, stride, &memory, KEYS, c10::dtype_or_default(dtype));
}

// The same numbers as a tensor of the CPU, without a copy.
at::Tensor on_cpu(const at::Tensor& tensor) {
  if (tensor.device() != SECOND) return tensor;
  int64_t count = tensor.storage().nbytes() / tensor.itemsize();
  auto whole = at::from_blob(const_cast<void*>(tensor.storage().data()), {count},
                             at::TensorOptions().dtype(tensor.scalar_type()).device(at::kCPU));
  return whole.as_strided(tensor.sizes(), tensor.strides(), tensor.storage_offset());
}

at::Tensor copy_from(const at::Tensor& from, const at::Tensor& to, bool) {
  on_cpu(to).copy_(on_cpu(from));
  return to;
}

at::Tensor copy_from_and_resize(const at::Tensor& from, const at::Tensor& to) {
  if (from.sizes() != to.sizes()) to.resize_(from.sizes());
  return copy_from(from, to, false);
}

const at::Tensor& resize(const at::Tensor& tensor, c10::IntArrayRef size, std::optional<at::MemoryFormat>) {
  tensor.unsafeGetTensorImpl()->set_sizes_contiguous(size);
  size_t needed = (tensor.storage_offset() + tensor.numel()) * tensor.itemsize();
  size_t had = tensor.storage().nbytes();
  if (had < needed) {
    auto data = memory.allocate(needed);
    if (had) std::memcpy(data.get(), tensor.storage().data(), had);
    tensor.storage().set_data_ptr(std::move(data));
    tensor.storage().set_nbytes(needed);
  }
  return tensor;
}

at::Tensor as_strided(const at::Tensor& tensor, c10::IntArrayRef size, c10::IntArrayRef stride,
                      std::optional<int64_t> offset) {
  return at::native::as_strided_tensorimpl(tensor, size, stride, offset);
}

// What CUDA takes from the CPU too: places to index with, and the lengths of packed sequences.
const std::set<std::string> MIXING = {"aten::index", "aten::index_put_", "aten::index_put", "aten::_index_put_impl_",
                                      "aten::_pack_padded_sequence", "aten::lstm"};

void refuse_mixing(const c10::OperatorHandle& op, c10::ArrayRef<c10::IValue> arguments) {
  bool here = false, there = false;
  auto look = [&](const at::Tensor& tensor) {
    if (!tensor.defined()) return;
    (tensor.device() == SECOND ? there : here) |= tensor.device() == SECOND || tensor.dim() > 0;
  };
  for (const auto& argument : arguments) {
    if (argument.isTensor()) look(argument.toTensor());
    if (argument.isTensorList())
      for (const at::Tensor& tensor : argument.toTensorList()) look(tensor);
    if (argument.isOptionalTensorList())
      for (std::optional<at::Tensor> tensor : argument.toOptionalTensorList())
        if (tensor) look(*tensor);
  }
  const std::string name = op.schema().operator_name().name;
  bool target_here = arguments[0].isTensor() && arguments[0].toTensor().device() != SECOND;
  TORCH_CHECK(!(here && there) || (MIXING.count(name) && !target_here),
              "Expected all tensors to be on the same device, but ", name, " got tensors of both");
}

void fallback(const c10::OperatorHandle& op, torch::jit::Stack* stack) {
  refuse_mixing(op, torch::jit::last(*stack, op.schema().arguments().size()));
  at::native::cpu_fallback(op, stack);
}

}  // namespace

TORCH_LIBRARY_IMPL(_, PrivateUse1, library) { library.fallback(torch::CppFunction::makeFromBoxedFunction<&fallback>()); }

TORCH_LIBRARY_IMPL(aten, PrivateUse1, library) {
  library.impl("empty.memory_format", &empty);
  library.impl("empty_strided", &empty_strided);
  library.impl("_copy_from", &copy_from);
  library.impl("_copy_from_and_resize", &copy_from_and_resize);
  library.impl("resize_", &resize);
  library.impl("as_strided", &as_strided);
  library.impl("view", [](const at::Tensor& t, c10::IntArrayRef size) { return at::native::view(t, size); });
  library.impl("_reshape_alias", [](const at::Tensor& t, c10::IntArrayRef size, c10::IntArrayRef stride) {
    return at::native::_reshape_alias(t, size, stride);
  });
  library.impl("unfold", [](const at::Tensor& t, int64_t axis, int64_t size, int64_t step) {
    return at::native::unfold(t, axis, size, step);
  });
}

PYBIND11_MODULE(TORCH_EXTENSION_NAME, module) {}
