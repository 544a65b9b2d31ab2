#include "runtime/gemm_task.h"

#include <algorithm>

#include "runtime/kernel_types.h"

namespace lamina::runtime {

namespace {

// Whether there are as many rows in any batch.
bool are_rows_fixed(const Shape& shape) {
  return std::all_of(shape.begin(), shape.end() - 1, [](const Dim& size) { return size.constant(); });
}

// A factor with the stack's axes in front: stride 0 where one matrix serves all.
Strided over_stack(const Strided& x, const Sizes& stack) {
  Sizes to = stack;
  to.push_back(x.sizes[x.sizes.size() - 2]);
  to.push_back(x.sizes.back());
  Strided out = x.broadcast(to);
  for (size_t i = 0; i < 2; ++i) out.strides[to.size() - 1 - i] = x.strides[x.strides.size() - 1 - i];
  return out;
}

// Where each matrix of the stack begins.
std::vector<int64_t> starts_of(const Strided& x, const Sizes& stack) {
  std::vector<int64_t> starts(static_cast<size_t>(count(stack)), x.offset);
  for (size_t s = 0; s < starts.size(); ++s) {
    auto rest = static_cast<int64_t>(s);
    for (size_t axis = stack.size(); axis-- > 0; rest /= stack[axis]) starts[s] += rest % stack[axis] * x.strides[axis];
  }
  return starts;
}

}  // namespace

GemmTask::GemmTask(const graph::Node* value, const Product& product, Cluster behind, bool stores_product,
                   const kernels::Table& kernels)
    : value(value),
      product(product),
      stores_product(stores_product),
      is_gram(runtime::is_gram(product.matmul)),
      has_fixed_rows(are_rows_fixed(value->shape())),
      element(static_cast<int64_t>(size_of(value->dtype()))),
      kernel(kernels.gemm[precision_of(value->dtype())]),
      epilogue(behind.nodes.empty() ? nullptr : std::make_unique<TileProgram>(std::move(behind), kernels)),
      multiplication(kernel, element) {}

void GemmTask::bind(const Binder& binder) {
  const Sizes shape = binder.symbols.eval(value->shape());
  Strided a = binder.locate(product.matmul->inputs[0].get()), b = binder.locate(product.matmul->inputs[1].get());
  m = shape[shape.size() - 2];
  n = shape[shape.size() - 1];
  k = a.sizes.back();
  const Sizes stack(shape.begin(), shape.end() - 2);
  a = over_stack(a, stack);
  b = over_stack(b, stack);
  if (stores_product) c = binder.locate(value);
  if (product.start != nullptr) start = binder.locate(product.start);
  b_changes = binder.changes(product.matmul->inputs[1].get());
  bind_stack(binder, stack, a, b);
  lanes = binder.kernels.vector_bytes / element;
  const bool over_batch = is_over_batch() && stacks == 1;
  const bool given = product.matmul->inputs[0]->is("input");
  multiplication.bind({m, n, k, a_row, a_col, b_row, b_col, has_fixed_rows, over_batch, given}, lanes);
  symmetric = is_gram && n >= lanes;
}

// Whether k is a free size, as only a batch's is, and the product is none of those with an order of their own.
bool GemmTask::is_over_batch() const {
  const Shape& b = product.matmul->inputs[1]->shape();
  return !b[b.size() - 2].constant() && !is_gram && product.start == nullptr;
}

// Where one B serves the whole stack and the rows of all A's are evenly spaced, the stack is one tall product.
void GemmTask::bind_stack(const Binder& binder, const Sizes& stack, const Strided& a, const Strided& b) {
  const size_t rank = stack.size();
  Sizes sizes(a.sizes.begin(), a.sizes.end() - 1), rows(a.strides.begin(), a.strides.end() - 1);
  const bool shared = std::all_of(b.strides.begin(), b.strides.end() - 2, [](int64_t s) { return s == 0; });
  if (rank > 0 && shared) collapse(sizes, {&rows}, 0);
  bool tall = rank > 0 && shared && sizes.size() <= 1;
  if (epilogue) {
    epilogue->bind(binder, tall || rank == 0 ? 1 : 2);
    if (tall && epilogue->outer() != 1) {
      tall = false;
      epilogue->bind(binder, 2);
    }
  }
  a_row = a.strides[rank];
  a_col = a.strides[rank + 1];
  b_row = b.strides[rank];
  b_col = b.strides[rank + 1];
  stacks = tall ? 1 : count(stack);
  if (tall) {
    m *= count(stack);
    a_row = rows.empty() ? a_row : rows[0];
  }
  a_buffer = a.buffer;
  b_buffer = b.buffer;
  a_at = tall ? std::vector<int64_t>{a.offset} : starts_of(a, stack);
  b_at = tall ? std::vector<int64_t>{b.offset} : starts_of(b, stack);
}

kernels::GemmArgs GemmTask::product_at(const Run& run, const TileProgram::Block& block, char* room, char* begin) const {
  const auto s = static_cast<size_t>(block.outer);
  kernels::GemmArgs args = factors(block.row1 - block.row0, block.col1 - block.col0);
  args.a = run.at(a_buffer) + (a_at[s] + block.row0 * a_row) * element;
  args.b = run.at(b_buffer) + (b_at[s] + block.col0 * b_col) * element;
  args.start = begin_of(run, block, begin);
  args.room = room;
  return args;
}

// The part of the row that the sums of a block begin with, side by side. (Where the step updates the row's own variable, from a C of
// one row, each block has read its part before.)
const void* GemmTask::begin_of(const Run& run, const TileProgram::Block& block, char* dense) const {
  if (product.start == nullptr) return nullptr;
  const int64_t step = start.strides.back();
  const char* from = run.at(start.buffer) + (start.offset + block.col0 * step) * element;
  if (has_dense_start()) return from;
  kernel.transpose(dense, 1, from, step, block.col1 - block.col0, 1);
  return dense;
}

}  // namespace lamina::runtime
