#include "runtime/stages.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "runtime/cuts.h"

namespace lamina::runtime {

namespace {

// In the unit of Step::work, some 10 ps with AVX-512.
constexpr double kSerial = 100e3;    // less stays on the caller's thread: waking another one costs about a microsecond
constexpr double kAlone = 1e6;       // of a whole run: of less, one thread is done before others have met (2 to 20 %, two threads)
constexpr double kSmall = 20e3;      // of a step that others wait for: it is done before they are shared out
constexpr double kWorth = 75e3;      // of a unit or a block that is worth a thread
constexpr double kUnitWork = 600e3;  // of a unit, less only that each thread has one: few are best, as each packs its factors anew
constexpr double kLargeUnit = 50e6;  // of a unit, half a millisecond: beyond it a thread has several, as one thread may be slower
constexpr double kUnitsWanted = 4;   // units of that size for each thread, at most
constexpr double kMeeting = 20e3;    // what a meeting takes, for each thread
constexpr double kTask = 40e3;       // of a task, at least: claiming one costs some 100 ns
constexpr int64_t kMostTasks = 64;   // of a lane, for each thread
constexpr int64_t kFewestRows = 24;  // of a block, else each reads a matrix for too little
constexpr int64_t kMostRows = 256;
constexpr double kKeptBytes = 8e6;   // of what only steps of one lane need: its memory serves nobody else meanwhile
constexpr double kLongStage = 10e9;  // work after which a stage ends, so that a run can be interrupted: some 100 ms

// Bytes of a matrix that every block reads as a whole and that is to stay in L2. A larger one, up to the second number, has to be worth
// it: the rows that threads would otherwise read of each other are more than this part of it (400 x 400: 256 rows gain 6 %, 64 lose 27).
constexpr double kSharedBytes = 128e3, kMostShared = 700e3;
constexpr double kSharedRows = 0.9;

struct Cut {
  int64_t rows = 0, grain = 1;  // 0: a step by itself
};

struct Draft {
  std::vector<size_t> items;
  Cut cut;
  double work = 0;
};

// A step; or of one that makes partial sums first, these, or the rest.
struct Item {
  size_t step;
  PartialSums* partial = nullptr;
  PartialSums* rest_of = nullptr;
};

class Planner {
 public:
  Planner(const Plan& plan, const HeldBy& held, int threads) : plan_(plan), held_(held), threads_(threads) {
    double work = 0;
    for (const StepPtr& step : plan_.steps) work += step->work();
    alone_ = threads_ == 1 || work < kAlone;
    list_items();
    done_.assign(items_.size(), false);
    users_.resize(items_.size());
    for (size_t i = 0; i < items_.size(); ++i)
      for (const Need& need : needs_[i]) users_[need.maker].push_back(i);
  }

  std::vector<Stage> run() {
    if (alone_) {
      for (size_t i = 0; i < items_.size(); ++i) add_serial(i);
      return std::move(stages_);
    }
    while (std::find(done_.begin(), done_.end(), false) != done_.end()) {
      const size_t before = stages_.size();
      const std::vector<size_t> ready = ready_items();
      for (const size_t i : ready)
        if (is_first(i)) add_serial(i);
      if (stages_.size() == before) add_parallel(ready);
    }
    return std::move(stages_);
  }

 private:
  void list_items() {
    std::vector<size_t> last(plan_.steps.size());  // item of each step
    for (size_t i = 0; i < plan_.steps.size(); ++i) {
      PartialSums* partial = alone_ ? nullptr : plan_.steps[i]->partial_sums();
      if (partial) {
        items_.push_back({i, partial, nullptr});
        needs_.emplace_back();
        for (const Need& need : plan_.needs[i])
          if (std::find(partial->reads.begin(), partial->reads.end(), need.through) != partial->reads.end())
            needs_.back().push_back(need);
      }
      last[i] = items_.size();
      items_.push_back({i, nullptr, partial});
      needs_.push_back(plan_.needs[i]);
    }
    for (std::vector<Need>& needs : needs_)
      for (Need& need : needs) need.maker = last[need.maker];
    for (size_t i = 0; i < items_.size(); ++i)
      if (items_[i].rest_of) needs_[i].push_back({i - 1, nullptr});
    loss_ = plan_.loss.step < last.size() ? last[plan_.loss.step] : items_.size();
  }

  Step& step(size_t i) const { return *plan_.steps[items_[i].step]; }
  RowWise* row_wise(size_t i) const {
    const Item& item = items_[i];
    return item.partial ? item.partial : item.rest_of ? nullptr : step(i).row_wise();
  }
  double work(size_t i) const {
    const Item& item = items_[i];
    return item.partial ? item.partial->work() : step(i).work() - (item.rest_of ? item.rest_of->work() : 0);
  }
  bool changes(size_t i) const { return !items_[i].partial && !step(i).changes.empty(); }

  bool may_run(size_t i) const {
    const auto& needs = needs_[i];
    return !waits_for_loss(i) && std::all_of(needs.begin(), needs.end(), [&](const Need& need) { return done_[need.maker]; });
  }
  bool waits_for_loss(size_t i) const { return loss_ < i && !done_[loss_] && changes(i); }
  std::vector<size_t> ready_items() const {
    std::vector<size_t> ready;
    for (size_t i = 0; i < items_.size(); ++i)
      if (!done_[i] && may_run(i)) ready.push_back(i);
    return ready;
  }
  bool is_first(size_t i) const { return step(i).alone() || (!users_[i].empty() && !items_[i].partial && work(i) < kSmall); }

  void add_serial(size_t i) {
    Stage stage;
    stage.steps = {items_[i].step};
    stage.lanes = {cut({{i}, {}, work(i)}, 1)};
    stage.shares = {{0, 0, stage.lanes[0].blocks}};
    stage.tasks = {0, 1};
    stage.single = items_[i].rest_of ? nullptr : &step(i);
    stages_.push_back(std::move(stage));
    done_[i] = true;
  }

  void add_parallel(const std::vector<size_t>& ready) {
    std::vector<Draft> drafts;
    double work = 0;
    for (size_t k = 0; k < ready.size() && work < kLongStage; ++k) {
      drafts.push_back(draft_from(ready[k]));
      work += drafts.back().work;
    }
    std::stable_sort(drafts.begin(), drafts.end(), [](const Draft& a, const Draft& b) { return a.work > b.work; });
    Stage stage;
    double collected = kTask;  // in the last task
    for (const Draft& draft : drafts) {
      for (const size_t i : draft.items) {
        done_[i] = true;
        (items_[i].partial ? stage.partial : stage.steps).push_back(items_[i].step);
      }
      stage.lanes.push_back(cut(draft, parts_of(draft.work, work)));
      const int64_t blocks = stage.lanes.back().blocks, tasks = std::min(blocks, tasks_of(draft.work));
      for (int64_t t = 0; t < tasks; ++t) {
        if (collected >= kTask) {
          stage.tasks.push_back(stage.shares.size());
          collected = 0;
        }
        stage.shares.push_back({stage.lanes.size() - 1, t * blocks / tasks, (t + 1) * blocks / tasks});
        collected += draft.work / static_cast<double>(tasks);
      }
    }
    stage.tasks.push_back(stage.shares.size());
    stage.parallel = stage.size() > 1 && work >= kSerial;
    stages_.push_back(std::move(stage));
  }

  // How many threads it is worth.
  static double worth(double work) { return std::max(std::floor(work / kWorth), 1.0); }

  // Into how many tasks: each worth to be claimed, and each thread has as many.
  int64_t tasks_of(double work) const {
    const int64_t threads = threads_, most = kMostTasks * threads;
    const auto tasks = static_cast<int64_t>(std::clamp(std::floor(work / kTask), 1.0, static_cast<double>(most)));
    return tasks > threads ? tasks / threads * threads : tasks;
  }

  // Into how many units `work` is cut where the threads share `whole`.
  int64_t parts_of(double work, double whole) const {
    const double threads = threads_, share = threads * work / whole;
    const double least = std::max(std::ceil(share - 0.25), std::min(std::floor(work / kUnitWork), threads));
    const double rounds = std::clamp(std::floor(work / (threads * kLargeUnit)), 1.0, kUnitsWanted);
    return static_cast<int64_t>(std::clamp(least * rounds, 1.0, worth(work)));
  }

  Lane cut(const Draft& draft, int64_t parts) {
    const int64_t rows = draft.cut.rows, block = rows > 0 ? rows_of_block(draft.cut, draft.work) : 0;
    Lane lane;
    if (rows > 0) lane.blocks = ceil_div(rows, block);
    for (const size_t i : draft.items) {
      const Item& item = items_[i];
      lane.steps.push_back(item.step);
      if (rows > 0) {
        row_wise(i)->cut_rows(rows, block);
        lane.units.push_back(units(i) / lane.blocks);
        continue;
      }
      if (item.partial)
        item.partial->cut(parts);
      else if (item.rest_of)
        step(i).cut_rest(parts);
      else
        step(i).cut(parts, threads_);
      lane.blocks = units(i);
      lane.units.push_back(1);
      lane.done_before = item.rest_of ? item.rest_of->units() : 0;
    }
    return lane;
  }

  int64_t units(size_t i) const {
    const Item& item = items_[i];
    return item.partial ? item.partial->units() : step(i).units() - (item.rest_of ? item.rest_of->units() : 0);
  }

  // As many blocks as threads that they are worth, or a multiple; in grains until the end.
  int64_t rows_of_block(const Cut& cut, double work) const {
    const int64_t all = ceil_div(cut.rows, cut.grain), most = std::max<int64_t>(kMostRows / cut.grain, 1);
    const double threads = std::min({worth(work), static_cast<double>(threads_), static_cast<double>(cut.rows / kFewestRows)});
    const int64_t once = std::max<int64_t>(static_cast<int64_t>(threads), 1);
    int64_t blocks = once;
    while (ceil_div(all, blocks) > most) blocks += once;
    return ceil_div(all, blocks) * cut.grain;
  }

  // How many threads have blocks of rows.
  int64_t threads_of(const Cut& cut, double work) const {
    const int64_t block = rows_of_block(cut, work);
    return std::min<int64_t>(ceil_div(cut.rows, block), threads_);
  }

  // Whether fewer meetings are worth more than all threads at each step: where there are more of them than blocks of rows.
  bool pays(const Draft& draft, const Cut& cut) const {
    const double threads = threads_, meeting = kMeeting * threads;
    const double along = draft.work / static_cast<double>(threads_of(cut, draft.work));
    double apart = -meeting;
    for (const size_t i : draft.items) apart += work(i) / std::min(worth(work(i)), threads) + meeting;
    return along <= apart;
  }

  // Item i and those that follow it row by row.
  Draft draft_from(size_t i) {
    Draft draft{{i}, {}, work(i)};
    RowWise* first = row_wise(i);
    Cut cut{first ? first->rows() : 0, 1};
    if (!can_follow(i, cut.rows)) return draft;
    cut.grain = first->grain(cut.rows);
    double kept = 0;
    for (size_t j = i + 1; j < items_.size() && draft.work < kLongStage; ++j) {
      if (done_[j] || !can_follow(j, cut.rows) || !follows(j, draft.items, cut.rows)) continue;
      const Cut both{cut.rows, std::lcm(cut.grain, row_wise(j)->grain(cut.rows))};
      const double more = kept_by(j, draft.items);
      if (both.rows <= both.grain || kept + more > kKeptBytes) continue;
      if (items_[j].partial && threads_of(both, draft.work) < threads_of(cut, draft.work)) continue;  // groups are long
      cut = both;
      kept += more;
      draft.items.push_back(j);
      draft.work += work(j);
    }
    if (draft.items.size() < 2) return draft;
    if (!pays(draft, cut)) return Draft{{i}, {}, work(i)};
    draft.cut = cut;
    return draft;
  }

  // Bytes that j reads of what its lane has made and nobody outside the lane needs.
  double kept_by(size_t j, const std::vector<size_t>& lane) const {
    const auto here = [&](size_t i) { return i == j || std::find(lane.begin(), lane.end(), i) != lane.end(); };
    double bytes = 0;
    for (const Need& need : needs_[j]) {
      const auto& users = users_[need.maker];
      if (need.through && here(need.maker) && std::all_of(users.begin(), users.end(), here))
        bytes += static_cast<double>(held_(need.through).elements) * static_cast<double>(size_of(need.through->dtype()));
    }
    return bytes;
  }

  bool can_follow(size_t i, int64_t rows) const {
    RowWise* step = row_wise(i);
    return step && !changes(i) && rows >= 2 * kFewestRows && step->splits(rows) && can_share(step->shared(), rows);
  }

  static bool can_share(const RowWise::Shared& matrix, int64_t rows) {
    const auto bytes = static_cast<double>(matrix.bytes);
    return bytes <= kSharedBytes || (bytes <= kMostShared && static_cast<double>(rows * (matrix.rows + matrix.cols)) >=
                                                                 kSharedRows * static_cast<double>(matrix.rows * matrix.cols));
  }

  // Whether j needs nothing but what is there, and the same rows of what `lane` makes.
  bool follows(size_t j, const std::vector<size_t>& lane, int64_t rows) const {
    if (waits_for_loss(j)) return false;
    bool any = false;
    for (const Need& need : needs_[j]) {
      if (done_[need.maker]) continue;
      if (std::find(lane.begin(), lane.end(), need.maker) == lane.end() || need.through == nullptr) return false;
      const Held held = held_(need.through);
      any = true;
      if (held.elements % rows != 0 || !row_wise(need.maker)->leaves_rows(held.buffer) ||
          !row_wise(j)->reads_rows(held.buffer, rows, held.elements / rows))
        return false;
    }
    return any;
  }

  const Plan& plan_;
  const HeldBy& held_;
  const int threads_;
  bool alone_ = false;
  std::vector<Item> items_;  // the parts of a step beside each other
  Needs needs_;              // of each item, by items
  size_t loss_ = 0;
  std::vector<bool> done_;
  std::vector<std::vector<size_t>> users_;  // of each item
  std::vector<Stage> stages_;
};

}  // namespace

std::vector<Stage> make_stages(const Plan& plan, const HeldBy& held, int threads) { return Planner(plan, held, threads).run(); }

}  // namespace lamina::runtime
