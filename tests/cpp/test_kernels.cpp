// Every kernel of every instruction set that this machine runs. An argument names the only one to test.
#include <stdexcept>

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

}  // namespace kernels_test

int main(int argc, char** argv) {
  using namespace kernels_test;
  check_dispatch();
  check_philox();
  for (const Table* t : supported_tables())
    if (argc == 1 || std::string(argv[1]) == t->isa) check_table(*t);
  return check::finish();
}
