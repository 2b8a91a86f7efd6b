import { describe, expect, it } from 'vitest';
import { nameDriver } from '../../accelerators/software-driver.ts';

const mapped = (...files: string[]) =>
  files.map((file, index) => `7f0${index}000-7f0${index}fff r-xp 00000000 08:01 42   ${file}`).join('\n');
const loader = '/usr/lib/x86_64-linux-gnu/libvulkan.so.1.3.239';

describe('a software driver', () => {
  it.each([
    ['/usr/lib/chromium/libvk_swiftshader.so', 'SwiftShader'],
    ['/usr/lib/x86_64-linux-gnu/libvulkan_lvp.so', 'lavapipe'],
  ])('is known by its library %s', (file, name) => {
    expect(nameDriver(mapped(loader, file), ['/dev/null', 'socket:[1]'])).toBe(name);
  });

  it('is not at work where a GPU is open, though the loader maps every driver', () => {
    const maps = mapped(loader, '/usr/lib/x86_64-linux-gnu/libvulkan_lvp.so', '/usr/lib/libGLX_nvidia.so.0');
    for (const device of ['/dev/nvidia0', '/dev/dri/renderD128', '/dev/kfd', '/dev/dxg'])
      expect(nameDriver(maps, ['/dev/null', device]), device).toBeUndefined();
    // The control device of a driver without a card.
    expect(nameDriver(maps, ['/dev/nvidiactl'])).toBe('lavapipe');
  });

  it('is not told of without its library', () => {
    expect(nameDriver(mapped(loader, '/opt/libvk_swiftshader_notes.txt'), [])).toBeUndefined();
  });
});
