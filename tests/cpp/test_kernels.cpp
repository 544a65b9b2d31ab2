// Every kernel of every instruction set that this machine runs. An argument names the only one to test.
#include <algorithm>
#include <fstream>
#include <stdexcept>

#include "base/cpu.h"
#include "kernels_all.h"

namespace kernels_test {

void check_dispatch() {
  section("dispatch");
  for (const Table* t : supported_tables()) {
    select(t->isa);
    CHECK(&table() == t, t->isa);
  }
  for (const char* wrong : {"avx3", ""}) {
    bool thrown = false;
    try {
      select(wrong);
    } catch (const std::invalid_argument& e) {
      thrown = std::string(e.what()).find("LAMINA_ISA") != std::string::npos;
    }
    CHECK(thrown, "'" << wrong << "' is refused");
  }
}

// The largest cache as the system describes it, where it does.
void check_cache() {
  section("cache");
  ptrdiff_t largest = 0;
  [[maybe_unused]] ptrdiff_t second = 0;
  for (int i = 0; i < 8; ++i) {
    const std::string where = "/sys/devices/system/cpu/cpu0/cache/index" + std::to_string(i);
    std::ifstream file(where + "/size"), numbered(where + "/level");
    ptrdiff_t size = 0;
    int level = 0;
    char unit = 0;
    if (!(file >> size >> unit && unit == 'K' && numbered >> level)) continue;
    largest = std::max(largest, size << 10);
    if (level == 2) second = size << 10;
  }
  const lamina::CpuFeatures& cpu = lamina::cpu_features();
#if defined(__x86_64__)
  if (largest > 0) CHECK(cpu.last_cache == largest, cpu.last_cache << ", not " << largest);
  if (second > 0) CHECK(cpu.near_cache == second || cpu.near_cache == largest, cpu.near_cache << " is no cache");
#else
  CHECK(cpu.last_cache == 0 && cpu.near_cache == 0, "not asked");
#endif
}

}  // namespace kernels_test

int main(int argc, char** argv) {
  using namespace kernels_test;
  check_dispatch();
  check_cache();
  check_philox();
  for (const Table* t : supported_tables())
    if (argc == 1 || std::string(argv[1]) == t->isa) check_table(*t);
  return check::finish();
}
