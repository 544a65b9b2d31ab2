// NumPy's arrays: their types and sizes, and new ones.
#include "bindings/bind.h"

namespace lamina::bindings {

const py::dtype& numpy_dtype(DType type) {
  static const auto* types =
      new std::array<py::dtype, 4>{py::dtype("bool"), py::dtype("int64"), py::dtype("float32"), py::dtype("float64")};
  return (*types)[static_cast<size_t>(type)];
}

DType dtype_of_array(const py::array& array) {
  const py::dtype dtype = array.dtype();
  for (DType type : {DType::boolean, DType::int64, DType::float32, DType::float64})
    if (dtype.is(numpy_dtype(type)) || dtype.equal(numpy_dtype(type))) return type;
  fail<TypeError>("[constant] expected an array of bool, int64, float32 or float64, got ", py::cast<std::string>(py::str(dtype)),
                  "; convert it with astype");
}

Sizes sizes_of(const py::array& array) { return Sizes(array.shape(), array.shape() + array.ndim()); }

namespace {

// Where arrays of so many bytes begin: at a page. NumPy's begin within a line, so that each store of a vector of a line's length
// touches two of them (a sum of 65,536 numbers takes half as long again). Where a result begins a line further into its page than its
// operand does, loads seem to wait for stores: the processor first compares their places within a page alone (gelu of 100,000: 8 %). For
// fewer bytes a second object costs more, for more the memory decides, and NumPy asks for large pages.
constexpr size_t kPage = 4096;
constexpr double kFewest = 64 << 10, kMost = 4 << 20;

PyObject* allocated(const py::dtype& dtype, int rank, const Py_intptr_t* sizes, void* data = nullptr) {
  // Straight from NumPy: pybind11's constructor makes three vectors of strides and sizes on the way.
  const auto& numpy = py::detail::npy_api::get();
  const int flags = data == nullptr ? 0
                                    : int{py::array::c_style} | int{py::detail::npy_api::NPY_ARRAY_ALIGNED_} |
                                          py::detail::npy_api::NPY_ARRAY_WRITEABLE_;
  return numpy.PyArray_NewFromDescr_(numpy.PyArray_Type_, py::dtype(dtype).release().ptr(), rank, sizes, nullptr, data, flags,
                                     nullptr);
}

}  // namespace

PyObject* find_room(const py::dtype& dtype, const Sizes& sizes) {
  static_assert(sizeof(Py_intptr_t) == sizeof(int64_t));
  const int rank = static_cast<int>(sizes.size());
  const auto* dims = reinterpret_cast<const Py_intptr_t*>(sizes.data());
  const auto element = static_cast<size_t>(dtype.itemsize());
  double bytes = static_cast<double>(element);  // which no sizes can make small by passing the largest integer
  for (const int64_t size : sizes) bytes *= static_cast<double>(size);
  if (bytes < kFewest || bytes >= kMost) return allocated(dtype, rank, dims);
  const Py_intptr_t elements = static_cast<Py_intptr_t>((static_cast<size_t>(bytes) + kPage) / element);
  PyObject* room = allocated(dtype, 1, &elements);
  if (room == nullptr) return nullptr;
  auto* data = static_cast<char*>(py::detail::array_proxy(room)->data);
  PyObject* array = allocated(dtype, rank, dims, data + (kPage - reinterpret_cast<uintptr_t>(data) % kPage) % kPage);
  if (array == nullptr) {
    Py_DECREF(room);
    return nullptr;
  }
  const int failed = py::detail::npy_api::get().PyArray_SetBaseObject_(array, room);  // takes `room`
  if (failed == 0) return array;
  Py_DECREF(array);
  return nullptr;
}

}  // namespace lamina::bindings
