import { readdirSync, readFileSync, readlinkSync } from 'node:fs';

/** What a person must know of a provider that runs on a software driver. */
export function emulated(software: string): string {
  return `on the CPU, emulated by ${software}: its latencies are no GPU's`;
}

/** Shared libraries of Vulkan drivers that compute on the CPU, and what people call them. */
const drivers: readonly (readonly [file: RegExp, name: string])[] = [
  [/\/libvk_swiftshader\.so/, 'SwiftShader'],
  [/\/libvulkan_lvp\.so/, 'lavapipe'],
];

/** Files through which a process holds a real GPU, on Linux and under WSL. */
const gpuFile = /^\/dev\/(?:dri\/(?:renderD|card)|nvidia\d|kfd$|dxg$|mali\d|kgsl)/;

/**
 * Name of the software driver that computes for this process in a GPU's place, once a WebGPU session is open;
 * undefined where a GPU does, or nothing is known. The runtime does not pass its adapter's name on, so this
 * looks at what the process holds: a loader maps every driver it finds, and Dawn takes a GPU before a software
 * one, so a software driver is at work where one is mapped and no GPU's file is open. Linux only: elsewhere it
 * cannot be told.
 */
export function softwareDriver(): string | undefined {
  if (process.platform !== 'linux') return undefined;
  try {
    return nameDriver(readFileSync('/proc/self/maps', 'utf8'), openFiles());
  } catch {
    return undefined;
  }
}

/** The rule itself. @param maps what the kernel lists as `/proc/<pid>/maps`. @param files what is open. */
export function nameDriver(maps: string, files: readonly string[]): string | undefined {
  if (files.some((file) => gpuFile.test(file))) return undefined;
  return drivers.find(([file]) => file.test(maps))?.[1];
}

function openFiles(): string[] {
  return readdirSync('/proc/self/fd').flatMap((descriptor) => {
    try {
      return [readlinkSync(`/proc/self/fd/${descriptor}`)];
    } catch {
      return []; // The one that listed them is closed by now.
    }
  });
}
