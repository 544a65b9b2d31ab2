// The step of a matrix product and of what runs behind it: the ways of carrying it out (gemm_way.h), of which the cut takes one.
#include "runtime/cluster.h"
#include "runtime/gemm_blocks.h"
#include "runtime/gemm_groups.h"
#include "runtime/gemm_relay.h"
#include "runtime/steps.h"

namespace lamina::runtime {

namespace {

class GemmStep final : public Step, public RowWise {
 public:
  GemmStep(const graph::Node* value, const Product& product, Cluster epilogue, bool stores_product, const kernels::Table& kernels)
      : task_(value, product, std::move(epilogue), stores_product, kernels), blocks_(task_), relay_(task_), groups_(task_) {
    name = "matmul";
    nodes = {product.matmul};
    inputs = {product.matmul->inputs[0].get(), product.matmul->inputs[1].get()};
    if (product.start != nullptr) {
      name += "+add";
      nodes.push_back(value);
      inputs.push_back(product.start);
    }
    if (stores_product) outputs.push_back(value);
    if (task_.epilogue) add_to(*this, *task_.epilogue);
  }

  void bind(const Binder& binder) override {
    task_.bind(binder);
    groups_.bind(binder);
    const auto m = static_cast<double>(task_.m), n = static_cast<double>(task_.n), k = static_cast<double>(task_.k);
    const auto matrices = static_cast<double>(task_.stacks), element = static_cast<double>(task_.element);
    const TileProgram* epilogue = task_.epilogue.get();
    flops_ = 2.0 * (task_.symmetric ? 0.5 * n * (n + 1) : m * n) * k * matrices;
    work_ = flops_ + (epilogue ? epilogue->work() : 0) + (groups_.has_any() ? groups_.passed_on() : 0);
    bytes_ = (m * k + k * n + (task_.stores_product ? m * n : 0)) * element * matrices + (epilogue ? epilogue->traffic() : 0);
  }

  void cut(int64_t parts, int threads) override {
    if (parts == 2 && threads == 2 && GemmRelay::suits(task_)) {
      relay_.cut();
      take(relay_);
    } else {
      blocks_.cut(parts, threads);
      take(blocks_);
    }
  }

  void cut_rest(int64_t parts) override {
    groups_.cut(parts);
    take(groups_);
  }

  PartialSums* partial_sums() override { return groups_.has_any() ? &groups_.partial_sums() : nullptr; }
  RowWise* row_wise() override { return groups_.has_any() ? nullptr : this; }
  int64_t rows() const override { return task_.stacks == 1 && !task_.symmetric ? task_.m : 0; }
  bool splits(int64_t rows) const override { return rows == this->rows(); }
  int64_t grain(int64_t) const override { return task_.grain(); }
  bool reads_rows(int buffer, int64_t rows, int64_t width) const override {
    const TileProgram* epilogue = task_.epilogue.get();
    if (task_.b_buffer == buffer || task_.start.buffer == buffer) return false;
    if (epilogue && !epilogue->reads_rows(buffer, rows, width)) return false;
    return task_.a_buffer != buffer || task_.a_row == width;
  }
  bool leaves_rows(int buffer) const override { return !task_.epilogue || task_.epilogue->leaves_rows(buffer); }
  Shared shared() const override { return task_.shared(); }
  void cut_rows(int64_t, int64_t block) override {
    blocks_.cut_rows(block);
    take(blocks_);
  }

  void run(const Run& run, int64_t first, int64_t last, int worker) const override {
    char* scratch = run.scratch[worker].data();
    for (int64_t unit = first; unit < last; ++unit) way_->run(run, unit, scratch);
  }

  void finish(const Run& run) const override {
    if (task_.epilogue) task_.epilogue->finish(run);
    blocks_.finish(run);
  }

 private:
  void take(const GemmWay& way) {
    way_ = &way;
    units_ = way.units();
    scratch_bytes_ = way.scratch_bytes();
  }

  GemmTask task_;
  GemmBlocks blocks_;
  GemmRelay relay_;
  GemmGroups groups_;
  const GemmWay* way_ = &blocks_;
};

}  // namespace

StepPtr make_gemm_step(const graph::Node* value, const Product& product, Cluster epilogue, bool stores_product,
                       const kernels::Table& kernels) {
  return std::make_unique<GemmStep>(value, product, std::move(epilogue), stores_product, kernels);
}

}  // namespace lamina::runtime
